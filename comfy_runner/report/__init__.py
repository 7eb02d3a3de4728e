"""What a person looks at when a run has ended: metrics, a suggestion, a contact sheet, a page. Files in, files out; no server."""
