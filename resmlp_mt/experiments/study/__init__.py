"""What each part of the image side does, on digits."""
