"""Finished variants: the notes in their files, their inspection, contact sheets and ThumbHashes of them."""
