"""The fair laboratory: recipes trained under one budget, compared with intervals."""
