"""What the devices of a host say of themselves."""
