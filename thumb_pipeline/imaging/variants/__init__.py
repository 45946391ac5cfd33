"""What has to do with finished variants: their notes, their inspection, small pictures of them."""
