"""`python3 -m labkit`: makes the environment where there is none, then hands over to labkit.cli.

Standard library only, and readable by Pythons that are too old, so that they can be told.
"""

import os
import sys

from labkit import environment


def main():
    """Hand over to the command line, in an environment that has everything; returns its exit code."""
    arguments = sys.argv[1:]
    try:
        python = environment.python_for(arguments)
    except environment.SetupError as error:
        environment.say(error)
        return 1
    except OSError as error:
        environment.say(environment.explain_file(error))
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        environment.say("stopped while setting up; to go on, {}".format(environment.AGAIN))
        return 130
    if python is None:
        from labkit import cli

        return cli.main(arguments)
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    return environment.hand_over([python, "-m", "labkit.cli"] + arguments)


if __name__ == "__main__":
    sys.exit(main())
