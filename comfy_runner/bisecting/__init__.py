"""Which version is the first bad one: the search, the versions, and the commands that bring a version's server up and down."""
