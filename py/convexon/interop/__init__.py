"""What goes out to other tools, and what comes in from them."""
