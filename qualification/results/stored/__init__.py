"""Reading stored runs that anybody may have made."""
