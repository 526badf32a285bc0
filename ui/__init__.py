"""The page: one file a tab, plus what they share. The only folder that imports gradio."""
