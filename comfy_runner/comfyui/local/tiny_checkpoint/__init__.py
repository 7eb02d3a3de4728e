"""Builds ``tiny-random-sd15.safetensors``: a small stand-in for a Stable Diffusion 1.5 checkpoint, about 300 MB.

    python -m tiny_checkpoint OUT.safetensors

ComfyUI loads the file with its ordinary nodes and renders in seconds on a CPU. It has learnt nothing: the pictures are
abstract, soft and colourful textures, never what a prompt says. They do react as a real model's do: to the seed, to each
word of the prompt, to cfg, to the size, and to the denoise of a second pass, which is what it is there to show.

How: nothing is trained and nothing is left to luck. The UNet's weights are worked out so that it is very nearly the
best possible denoiser of one family of pictures, smooth random fields with a known power spectrum P, which is a Wiener
filter, ``P / (P + sigma**2)`` for each spatial frequency. So samplers and denoise values mean what they mean for a
trained model. The prompt moves the mean of that family. The decoder turns four latent fields into colours through a
bounded palette, so that nothing clips, in steps whose edges are sharp at any size: what a second pass paints is finer
than what any scaling gives. Random numbers, from a fixed seed, choose what words and colours mean.

Not here: any of ComfyUI's code, or of comfy_runner's; the package is run by ComfyUI's own Python, which has torch.
"""
