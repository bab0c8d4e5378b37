"""What people search for on the site, and the page that answers."""

SEARCHES = {
    "GAN": "examples/gan_super_resolution.html",
    "colab": "faq.html",
    "install": "quickstart.html",
    "cite": "faq.html",
    "uint8": "faq.html",
    "channels_first": "faq.html",
    "perceptual loss": "training.html",
    "sharper": "faq.html",
    "LUT": "luts.html",
    "custom training loop": "custom_training_loop.html",
    "no gradients provided": "faq.html",
}
