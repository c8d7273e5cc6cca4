"""Starting the service: Ray Serve's application, addresses, and the proxy in front of it."""
