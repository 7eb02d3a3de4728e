"""Users' own workflows in: files of any kind in which ComfyUI and other programs say how a picture was made."""
