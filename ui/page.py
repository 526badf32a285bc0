"""The page as Gradio's Blocks: every event is checked before it runs, ends in time, and fails with a sentence."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from typing import Any

import gradio as gr

from core.stopping import Stopped, stop_by
from ui.budget import Deadline
from ui.guard import DISK_FULL, is_disk_full
from ui.runs import asked_at
from ui.startup import no_stubs
from ui.uploads import FILES, Visitor, check_files, current_visitor, file_entries
from ui.visitors import Visitors
from ui.waiting import FairQueue

FAILED = "This did not work. Reload the page and try again."
MAX_MESSAGE = 400  # letters; Gradio lists all choices of a dropdown


class _UploadedFiles(set):
    """Gradio's set of the files that its upload route has written. It also tells the register."""

    def update(self, *paths: Iterable[str]) -> None:
        """Add files."""
        super().update(*paths)
        for group in paths:
            FILES.add_uploads(group)


with no_stubs():

    class Page(gr.Blocks):
        """The Blocks of the page.

        It checks the files in the inputs of every event and every endpoint, and gives every event a deadline.
        """

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.upload_file_set = _UploadedFiles()
            self.temp_file_sets = [self.upload_file_set]

        _queue: FairQueue
        state_holder: Visitors

        def queue(self, *args: Any, **options: Any) -> Page:
            """Set up the queue, as in Gradio, with limits for each visitor."""
            super().queue(*args, **options)
            first = self._queue
            self._queue = FairQueue(
                first.live_updates, first.max_thread_count, first.update_intervals, first.max_size, self,
                first.default_concurrency_limit,
            )  # fmt: skip
            return self

        async def process_api(self, block_fn: Any, inputs: list[Any], *args: Any, **options: Any) -> dict[str, Any]:
            """Run an event, or one step of it, as in Gradio.

            Raises gr.Error for a file that is not the visitor's, at the deadline, and for a failure.
            """
            session, event = options.get("session_hash") or "", options.get("event_id")
            lasting = bool(session) and session != event
            token = current_visitor.set(Visitor(session, lasting))
            deadline = self._queue.deadline(event) if event else Deadline()
            arrival = asked_at.set(self._queue.asked_at(event) if event else math.inf)
            if event and lasting and (notice := self.state_holder.take_notice(session)):
                self._queue.log_message(event, notice, title="", level="warning")
            try:
                check_files(inputs)
                with stop_by(deadline.check):
                    return await super().process_api(block_fn, inputs, *args, **options)
            except Stopped as stop:
                raise gr.Error(str(stop), title="", print_exception=False) from None
            except gr.Error as error:
                text = str(error.message)
                if len(text) <= MAX_MESSAGE:
                    raise
                raise gr.Error(f"{text[:MAX_MESSAGE]} ...", title="", print_exception=False) from None
            except (
                Exception
            ) as error:  # of Gradio or of a handler, from values that no browser sends, or a mistake here
                logging.getLogger(__name__).exception("an event failed")
                sentence = DISK_FULL if is_disk_full(error) else FAILED
                raise gr.Error(sentence, title="", print_exception=False) from error
            finally:
                current_visitor.reset(token)
                asked_at.reset(arrival)
                if lasting:
                    self.state_holder.note_size(session)

        async def postprocess_data(self, block_fn: Any, predictions: Any, state: Any) -> list[Any]:
            """The outputs of an event, as in Gradio. Their files become files of the visitor."""
            outputs = await super().postprocess_data(block_fn, predictions, state)
            visitor = current_visitor.get()
            for entry in file_entries(outputs) if visitor else ():
                if visitor and isinstance(entry["path"], str):
                    FILES.give(entry["path"], visitor)
            return outputs
