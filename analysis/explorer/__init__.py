"""The page on which a diagram answers a click: what it is asked, what it computes, what it shows."""
