"""Every file of a folder, decoded by medlabel and by arithmetic that shares no code with it."""
