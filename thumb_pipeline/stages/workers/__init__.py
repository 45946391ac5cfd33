"""The processes that open pictures: what is asked of them, what they may use, what their death means."""
