"""The link: an accelerator's streams behind a serial line that loses and damages bytes."""
