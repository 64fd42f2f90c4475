"""Operations of an inference and their energy."""
