"""`python -m feedback_app` is `alignloop`."""

from feedback_app.cli import main

if __name__ == "__main__":
    main()
