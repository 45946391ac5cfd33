"""Who opens which source: Pillow, and the libraries for HEIC, camera RAW, documents and videos."""
