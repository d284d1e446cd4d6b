"""Virtual environments and images that workers start in."""
