"""Band levels of the synthetic track that ``rendered_mmd`` renders.

They are those of track 0 of ``popeq_audio.tracks``, its channels mixed, over the whole loop; a test computes
them again (tests/popeq_audio/test_rendered_mmd.py).
"""

#: Energy of each band of ``popeq.metrics.rendered.BAND_EDGES_HZ`` in the whole from 20 Hz to 20 kHz, dB.
# fmt: off
TRACK_DB = (
    -35.43, -36.66, -32.77, -34.40, -29.41, -21.98, -14.07, -11.59, -12.31, -11.77,
    -17.16, -16.70, -12.48, -10.79, -13.30, -12.03, -18.25, -15.05, -14.24, -14.65,
    -24.10, -14.78, -24.49, -17.90, -17.66, -18.89, -19.33, -19.36, -23.31, -19.41,
    -22.93, -18.16, -21.05, -18.97, -24.60, -20.85, -20.81, -18.93, -20.20, -21.90,
    -21.98, -21.21, -22.10, -22.64, -22.86, -22.58, -23.78, -23.26, -22.79, -22.85,
    -22.07, -22.42, -21.60, -21.39, -21.65, -21.23, -20.94, -20.57, -19.92, -19.84,
)
# fmt: on
