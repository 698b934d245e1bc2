"""`python -m feedback_app` is `alignloop`."""

from feedback_app.commands.app import main

if __name__ == "__main__":
    main()
