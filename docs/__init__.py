"""What people read, and in tools/ how parts of it are made."""
