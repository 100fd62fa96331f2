# SPDX-License-Identifier: Apache-2.0
"""What keyturnd puts right by itself, and what it says meanwhile: children that crash over and over, get stuck or lose
each other, and signals that come at the wrong moment."""
import concurrent.futures
import os
import re
import resource
import signal
import socket
import unittest

from daemon import BUILD, LOSE, STATUS, Daemon, make_state, until

UNDONE = "event=not-started|event=start-failed|event=ended"
CRASH = "#!/bin/sh\nexit 3\n"


class Case(unittest.TestCase):
    settings = ()

    def setUp(self):
        self.d = Daemon(*self.settings)
        self.addCleanup(self.d.close)

    def ends_of(self, role):
        """How often one has ended by itself; the control socket cannot tell while the keeper is away."""
        return sum("event=ended" in line and f"process={role} " in line for line in self.d.log().splitlines())


class Watchdog(Case):
    def test_a_keeper_that_crashes_over_and_over(self):
        """is no reason to have everything killed: the front serves on."""
        self.d.extra_env = {"WATCHDOG_USEC": "400000"}
        self.d.start().wait_healthz("ok")
        processes = self.d.processes()
        self.d.replace_program("keeper", CRASH)
        os.kill(processes["keeper"][0], signal.SIGKILL)
        until(lambda: self.pings() and self.ends_of("keeper") >= 7, "the keeper is away for three seconds")
        pings = self.pings()
        until(lambda: self.pings() > pings + 3, "pings go on")
        self.assertEqual((self.ends_of("keeper"), self.ends_of("front")), (7, 0))

    def pings(self):
        """So far. A service manager that did not listen would make keyturnd wait."""
        self.d.heard("")
        return self.d.notified.count("WATCHDOG=1")


class Lifeline(Case):
    def test_a_child_that_closes_it_and_stays(self):
        """is out of reach, and replaced."""
        self.d.start().wait_healthz("ok")
        keeper, sound = self.d.processes()["keeper"][0], self.d.bytes(self.d.program("keeper"))
        self.d.replace_program("keeper", "#!/bin/sh\nexec 3>&-\nexec sleep 600\n")
        os.kill(keeper, signal.SIGKILL)
        until(lambda: self.ends_of("keeper") >= 3, "it is ended, over and over")
        self.d.replace_program("keeper", sound)
        self.d.wait_healthz("ok")


class Signals(Case):
    def start_while_the_socket_is_taken(self, number):
        """As by a keyturnd before it whose children have not ended yet."""
        folder = os.path.join(self.d.place, "run", "kms")
        os.makedirs(folder)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(os.path.join(folder, "kms.sock"))
            other.listen(8)
            other.settimeout(60)
            self.d.start(wait=False)
            other.accept()[0].close()  # it looks whether somebody answers
            self.d.process.send_signal(number)

    def test_hup_before_it_has_its_sockets(self):
        self.start_while_the_socket_is_taken(signal.SIGHUP)
        self.d.tells(lambda: self.d.heard("READY=1"), "READY=1")
        self.d.wait_healthz("ok")
        self.assertIn("event=reloaded", self.d.log())
        self.assertNotIn("RELOADING=1", self.d.notified)

    def test_term_before_it_has_its_sockets(self):
        self.start_while_the_socket_is_taken(signal.SIGTERM)
        self.assertEqual(self.d.process.wait(60), 0)


class Drain(Case):
    def test_an_offer_that_is_installed_meanwhile(self):
        """is answered."""
        self.d.start().wait_healthz("ok")
        path = os.path.join(self.d.dir, "g2")
        make_state("edit", self.d.place, path, "add", "second")
        release = self.d.hold_opener()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            offered = pool.submit(self.d.offer, path)
            until(lambda: self.d.processes()["opener"][0], "an opener at work")
            self.d.process.send_signal(signal.SIGTERM)
            until(lambda: self.ends_of("front"), "the keeper drains")
            release()
            reply = offered.result(60)
        self.assertIsNone(reply.error)
        self.assertEqual(reply.offer[3], [2])
        self.assertEqual(self.d.process.wait(60), 0)


class Reload(Case):
    """The service manager hears READY when the keyring has been tried under the new configuration."""

    def since_reloading(self):
        """The names of what was notified since, READY and STATUS."""
        self.d.heard("")
        names = [line.split("=")[0] for line in self.d.notified]
        return names[len(names) - names[::-1].index("RELOADING"):] if "RELOADING" in names else []

    def reload(self):
        self.d.process.send_signal(signal.SIGHUP)

    def wait_ready(self, what):
        self.d.tells(lambda: "READY" in self.since_reloading(), what)

    def put_generation_2(self):
        path = os.path.join(self.d.dir, "g2")
        make_state("edit", self.d.place, path, "add", "second")
        with open(os.path.join(self.d.state, "keyring.yaml"), "w") as out:
            out.write(self.d.text(path))

    def test_ready_when_the_keyring_is_taken_in(self):
        self.d.start().wait_healthz("ok")
        self.put_generation_2()
        release = self.d.hold_opener()
        for _ in range(2):
            self.reload()
        until(lambda: self.since_reloading() and self.d.processes()["opener"][0], "an opener at work")
        self.assertNotIn("READY", self.since_reloading())
        release()
        self.wait_ready("READY after RELOADING")
        self.assertEqual(self.d.ask(STATUS).generation, 2)

    def test_ready_when_it_is_refused(self):
        self.d.start().wait_healthz("ok")
        with open(os.path.join(self.d.state, "keyring.yaml"), "a") as out:
            out.write("nonsense\n")
        self.reload()
        self.wait_ready("READY after RELOADING")
        self.assertTrue(any("was not taken in" in warning for warning in self.d.status().warnings()))
        self.assertEqual(self.d.ask(STATUS).generation, 1)

    def test_ready_without_a_state_directory(self):
        os.rename(self.d.state, self.d.state + ".aside")
        self.d.start()
        self.d.wait_healthz("state")
        self.reload()
        self.wait_ready("READY after RELOADING")

    def test_a_refused_configuration(self):
        """changes nothing, and has not even the keyring looked at."""
        self.d.start().wait_healthz("ok")
        self.put_generation_2()
        self.d.change_config("maxStreams", "maxSteams")
        self.reload()
        self.wait_ready("READY after RELOADING")
        self.assertTrue(any("old configuration stays" in line for line in self.d.notified))
        self.assertEqual(self.d.ask(STATUS).generation, 1)

    def test_a_keeper_that_says_nothing(self):
        self.d.change_config("timeout: 30s", "timeout: 1s")
        self.d.start().wait_healthz("ok")
        keeper = self.d.processes()["keeper"][0]
        os.kill(keeper, signal.SIGSTOP)
        self.reload()
        self.wait_ready("READY after some seconds")
        self.assertIn("keyring-not-tried", self.d.log())
        os.kill(keeper, signal.SIGCONT)
        self.d.wait_healthz("ok")

    def test_a_keeper_that_dies_over_it(self):
        self.d.start().wait_healthz("ok")
        self.put_generation_2()
        release = self.d.hold_opener()
        self.reload()
        until(lambda: self.since_reloading() and self.d.processes()["opener"][0], "an opener at work")
        os.kill(self.d.processes()["keeper"][0], signal.SIGKILL)
        until(lambda: self.ends_of("keeper"), "the keeper ends")
        self.assertNotIn("READY", self.since_reloading())
        release()
        self.wait_ready("READY after RELOADING")
        self.assertEqual(self.d.ask(STATUS).generation, 2)
        self.assertNotIn("keyring-not-tried", self.d.log())


class Notifications(Case):
    """What the service manager believes of a root process is not for the keeper to say."""

    def test_a_keeper_that_forges_fields(self):
        self.d.extra_env = {"KEYTURN_STAND_IN_HEALTHZ": "bad\nMAINPID=1\nSTOPPING=1\r\tend\x7f"}
        self.d.replace_program("keeper", self.d.bytes(os.path.join(BUILD, "tests", "stand_in_keeper")))
        self.d.start(wait=False)
        self.d.tells(lambda: self.d.heard("STATUS=bad MAINPID=1 STOPPING=1  end "), "the words in one line")
        self.d.tells(lambda: self.d.heard("READY=1"), "it is ready as well")
        self.assertEqual({line.split("=")[0] for line in self.d.notified}, {"READY", "STATUS"})

    def test_a_configuration_that_forges_fields(self):
        self.d.start().wait_healthz("ok")
        self.d.change_config("^", '"a\\nMAINPID=1": 1\n')
        self.d.process.send_signal(signal.SIGHUP)
        self.d.tells(lambda: self.d.heard("") or any("old configuration" in line for line in self.d.notified), "the complaint")
        self.assertNotIn("MAINPID=1", self.d.notified)


class Pair(Case):
    """Front and keeper live, but their pair is gone."""
    settings = ("metrics=off",)

    def test_an_end_that_is_lost(self):
        self.d.start().wait_healthz("ok")
        for _ in range(2):
            self.assertEqual(self.d.ask(STATUS).data, b"ok")
            self.assertEqual(self.d.ask(LOSE).op, LOSE)
            self.assertEqual(self.d.ask(STATUS).data, b"ok")
        self.assertIn("event=pair-lost", self.d.log())
        self.assertEqual([restarts for _, restarts, _ in self.d.processes().values()], [0] * 5)

    def test_a_pair_that_could_not_be_made(self):
        """keyturnd is out of descriptors just when front and keeper are introduced."""
        for limit in range(16, 64):
            if self.start_with(limit):
                break
        self.assertIn("event=pair-failed", self.d.log())
        resource.prlimit(self.d.process.pid, resource.RLIMIT_NOFILE, (1024, self.hard))
        self.d.wait_healthz("ok")
        self.assertEqual(self.d.ask(STATUS).key_id, self.d.first_key)
        self.assertEqual((self.ends_of("front"), self.ends_of("keeper")), (0, 0))

    def start_with(self, limit):
        """True: both run, and have no pair."""
        self.hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        open(self.d.log_path, "w").close()
        self.d.start(wait=False, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, self.hard)))
        until(lambda: self.d.process.poll() is not None or re.search(UNDONE + "|event=ready process=keeper", self.d.log()),
              "it starts or not")
        if "pair-failed" in self.d.log() and not re.search(UNDONE, self.d.log()):
            return True
        self.d.process.kill()
        self.d.process.wait()
        return False


if __name__ == "__main__":
    unittest.main(verbosity=2)
