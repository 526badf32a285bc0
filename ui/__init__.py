"""The page: one file per tab, and what the tabs share. The only folder that imports gradio."""
