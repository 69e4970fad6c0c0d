"""For whom nodes are kept free, which nodes, and until when."""
