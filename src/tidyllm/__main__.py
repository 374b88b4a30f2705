"""The command line, as `python -m tidyllm`."""

from tidyllm.cli.main import main

if __name__ == "__main__":
    main()
