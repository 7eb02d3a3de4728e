"""The page of a run, one HTML file, and the thumbnails beside it."""
