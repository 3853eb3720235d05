"""How problems come down their strengths, and how far above the minimum they end."""
