# What a person types. `make` lists it; the work is in scripts/, .ci/run and deno.json.

# Where scripts/setup.sh puts Deno when it may not install it for everybody.
export PATH := $(CURDIR)/.cache/tools/bin:$(PATH)
# The Vulkan loader complains without it; Winnow opens no window.
export XDG_RUNTIME_DIR ?= /tmp
# Deno would fall back to OpenGL without a word.
export DENO_WEBGPU_BACKEND ?= vulkan

CONFIG ?= configs/quickstart.yaml
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup quickstart test lint fmt train resume evaluate predict export report data profile cleanup catalog bench clean

help: ## this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/\1\t\2/' | expand -t 14

setup: ## installs what is missing: Deno, a Vulkan loader, Vulkan on the CPU where there is no driver
	@scripts/setup.sh

quickstart: setup ## a whole study on a generated sample: train, search, evaluate, report
	@deno task train --config configs/quickstart.yaml $(ARGS)

test: ## everything that is checked before a change is taken in
	@.ci/run

lint: setup ## format, lint and types
	@deno fmt --check && deno lint && deno check mod.ts lib scripts tests bench

fmt: setup ## formats the sources
	@deno fmt

train: setup ## make train CONFIG=FILE ARGS="--json training.epochs=4"
	@deno task train --config $(CONFIG) $(ARGS)

resume: setup ## continues an interrupted study: make resume [STUDY=ID]
	@deno task resume $(if $(STUDY),--study-id $(STUDY)) $(ARGS)

evaluate: setup ## make evaluate STUDY=ID or TRIAL=ID
	@deno task evaluate $(if $(STUDY),--study-id $(STUDY)) $(if $(TRIAL),--trial-id $(TRIAL)) $(ARGS)

report: setup ## a study's page in one HTML file: make report [STUDY=ID] [ARGS=--with-text]
	@deno task report $(if $(STUDY),--study-id $(STUDY)) $(ARGS)

predict: setup ## criteria and evidence of texts: make predict INPUT=FILE [STUDY=ID or TRIAL=ID or MODEL=DIR]
	@deno task predict $(if $(STUDY),--study-id $(STUDY)) $(if $(TRIAL),--trial-id $(TRIAL)) $(if $(MODEL),--model $(MODEL)) $(if $(INPUT),--input $(INPUT)) $(ARGS)

export: setup ## a folder for transformers: make export STUDY=ID or TRIAL=ID TO=DIR
	@deno task export $(if $(STUDY),--study-id $(STUDY)) $(if $(TRIAL),--trial-id $(TRIAL)) $(if $(TO),--to $(TO)) $(ARGS)

data: setup ## reports on a dataset: make data CONFIG=FILE ARGS="--json data.id=FOLDER"
	@deno task data --config $(CONFIG) $(ARGS)

profile: setup ## time of a training step by kernel: make profile [CONFIG=FILE] [ARGS="--trace FILE"]
	@deno task profile --config $(CONFIG) $(ARGS)

cleanup: setup ## lists what can go from the experiments folder; ARGS=--execute deletes it
	@deno task cleanup $(if $(STUDY),--study-id $(STUDY)) $(ARGS)

catalog: setup ## what a configuration can choose from by name
	@deno task catalog $(ARGS)

bench: setup ## matrix multiplication and training step, one line of JSON each
	@deno task bench:gemm --json
	@deno task bench:step --json

clean: ## removes what tests leave; studies and downloads stay
	rm -rf coverage
