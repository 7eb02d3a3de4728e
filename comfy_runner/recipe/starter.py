"""The recipe that a new user starts from: complete and commented. ``comfy-runner init`` prints or writes it."""

from __future__ import annotations

STARTER = """\
# A comfy_runner recipe. Every field is here; all but prompt and checkpoint may be left out.
# A field can be overridden for one run: --set upscale.denoise=0.6

name: my-first-picture # what the job and its files are called; the file's name if left out
# extends: forest-sunrise # start from a shipped recipe, or from a file such as ./base.yaml, and change only some fields
template: latent_upscale # sample, enlarge the latent, sample again; or the path of a template of your own

# File names as your server lists them (folder models/checkpoints, models/vae, models/loras).
checkpoint: juggernautXL_juggXIByRundiffusion.safetensors
# vae: sdxl_vae.safetensors # the checkpoint's own if left out
# clip_skip: 2 # 1 to 24
loras: []
#   - detail.safetensors # a name alone has strength 1
#   - {name: style.safetensors, strength_model: 0.8, strength_clip: 0.6}

prompt: >-
  A landscape photograph of a mountain lake at sunrise, mist over still water, pine forest, golden light,
  rich detail, natural colors, wide-angle perspective
negative_prompt: blurry, lowres, watermark

seed: 42 # a number, or random: drawn once per run folder and recorded there

# Size of the original in pixels. ComfyUI works in steps of 8 pixels. Other ways:
#   size: {aspect: "16:9", megapixels: 0.6}
#   size: {preset: sdxl-square}
size: {width: 1024, height: 576}

sampler:
  name: dpmpp_2m_sde
  scheduler: karras
  steps: 30
  cfg: 5.0

upscale:
  factor: 2 # or size: {width: 2048, height: 1152}
  method: nearest-exact # or bilinear, area, bicubic, bislerp
  denoise: 0.55 # how much is painted anew: below 0.5 it stays blurred, above 0.7 it becomes another picture
  steps_mode: full # full: all steps, as ComfyUI counts; scaled: steps x denoise, as other programs count, and faster
  seed: same # as the first pass; or next, or a number
  sampler: {} # what differs from the first pass, such as {steps: 20}

vae_decode: auto # auto decides by size alone; full: at once; tiled: in tiles, which needs less memory

# Where each picture goes in the run folder. Placeholders: {job_id}, {name}, {role}, {seed}
output:
  format: png # as the server gives it; jpeg or webp, whose paths end in .jpg and .webp, take quality: 90 too
  original: "{job_id}/original.png"
  upscaled: "{job_id}/upscaled.png"

# Free values for a template of your own, which sees them as params.
params: {}

# One job for each combination of these values, instead of one job (see docs/sweeps.md):
# sweep:
#   upscale.denoise: {from: 0.45, to: 0.70, step: 0.05}
#   seed: {start: 1, count: 4}

# What is tried again, and how often:
# retry: {server_lost: 3, out_of_memory: {times: 1, free: true, vae_decode: tiled}, flat_picture: 1}
"""
"""Text of a recipe that loads as it is, without notes."""
