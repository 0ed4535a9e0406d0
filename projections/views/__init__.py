"""Everything readers ask, answered from the read models in the forms that clients see."""
