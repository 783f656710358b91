"""Text: a vendor's strings made safe (`safe_inline`, `redact`) and comparable (`hash_words`, `align`); numbers as words."""
