"""What components must do, as formal specifications."""
