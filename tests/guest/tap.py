# SPDX-License-Identifier: GPL-2.0-or-later
"""Test points in TAP, the Test Anything Protocol."""

import guest
import machine
from checks import Failure, Skip


class Tap:
    def __init__(self, count):
        self.number = self.failures = 0
        print(f'TAP version 13\n1..{count}', flush=True)

    def diagnose(self, text):
        for line in str(text).splitlines():
            print(f'# {line}', flush=True)

    def point(self, name, check, *args):
        """One test: ok unless the check raises."""
        self.number += 1
        failure = None
        try:
            check(*args)
        except Skip as skip:
            print(f'ok {self.number} - {name} # SKIP {skip}', flush=True)
            return True
        except (Failure, guest.BootError, machine.MachineError) as error:
            failure = str(error)
        # Whatever a broken report makes a check raise is a failed check.
        except Exception as error:  # pylint: disable=broad-except
            failure = f'{type(error).__name__}: {error}'
        print(f'{"not ok" if failure else "ok"} {self.number} - {name}',
              flush=True)
        if failure:
            self.failures += 1
            self.diagnose(failure)
        return not failure
