"""Reports: figures for machines, text for people, one page for both."""
