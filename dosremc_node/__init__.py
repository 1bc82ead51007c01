"""The DoSReMC node: see ARCHITECTURE.md for the rooms and workflow.py for the journey of a mammogram."""
