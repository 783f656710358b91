"""Text: a vendor's strings made safe (`safe_inline`, `excerpt`) and comparable (`hash_words`, `align`); numbers."""
