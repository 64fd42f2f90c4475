"""What lies on disk: the file form of every artefact, its digest, and how it is written."""
