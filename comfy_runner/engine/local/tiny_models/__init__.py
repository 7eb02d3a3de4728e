"""Builds tiny stand-ins for models, so that every kind of workflow can really be run, with nothing downloaded.

    python -m tiny_models FOLDER

ComfyUI loads the files with its ordinary nodes and renders in seconds on a CPU. They are made the same each time, and lie in
FOLDER as in ComfyUI's own models folder:

- `checkpoint`: ``checkpoints/tiny-random-sd15.safetensors``, a Stable Diffusion 1.5, 300 MB
- `controlnet`: ``controlnet/tiny-random-tile.safetensors``, 28 MB
- `loras`: ``loras/tiny-random-a.safetensors`` and ``-b``, 0.5 MB each
- `vae`: ``vae/tiny-random-vae.safetensors``, 5 MB
- `upscaler`: ``upscale_models/tiny-random-x4.safetensors`` and ``-x2``, 0.5 MB each

They have learnt nothing: the pictures are abstract, soft and colourful textures, never what a prompt says. They do react as a
real model's do: to the seed, to each word of the prompt, to cfg, to the size, and to the denoise of a second pass, which is what
they are there to show.

How: nothing is trained and nothing is left to luck. The UNet's weights are worked out so that it is very nearly the
best possible denoiser of one family of pictures, smooth random fields with a known power spectrum P, which is a Wiener
filter, ``P / (P + sigma**2)`` for each spatial frequency. So samplers and denoise values mean what they mean for a
trained model. The prompt moves the mean of that family; so does a picture shown to the ControlNet. The decoder turns four
latent fields into colours through a bounded palette, so that nothing clips, in steps whose edges are sharp at any size: what a
second pass paints is finer than what any scaling gives. Random numbers, from fixed seeds, choose what words and colours mean.

It uses none of ComfyUI's code, and none of comfy_runner's: it is run by ComfyUI's own Python, which has torch.
"""
