"""Opens sources: with Pillow, and with the libraries for HEIC, camera RAW, documents and videos."""
