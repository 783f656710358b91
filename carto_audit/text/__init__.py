"""Text: strings from a vendor made safe to show, and made comparable: `safe_inline`, `mask`, `hash_words`, alignment."""
