"""Every metric there is: a table for each subject, in the order of the page."""
