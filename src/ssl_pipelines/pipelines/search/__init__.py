"""The images of a folder most like one that is given."""
