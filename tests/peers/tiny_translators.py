"""Two tiny Marian models with random weights, `to` and `from`, exported to ONNX the way the hub has translation models.

    tiny_translators.py FOLDER < {"sentences": [...], "tokens_per_token": 2, "more_tokens": 16} > {"to": [...], "from": [...]}

FOLDER/to and FOLDER/from hold what transformers.js reads: config.json, generation_config.json, tokenizer.json,
tokenizer_config.json, onnx/encoder_model.onnx and onnx/decoder_model_merged.onnx. `to` are Python's greedy translations
of the sentences, `from` those of `to`: what transformers.js must give.
"""

import json
import os
import sys
from collections import Counter

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import DynamicCache, EncoderDecoderCache, MarianConfig, MarianMTModel, PreTrainedTokenizerFast

torch.set_num_threads(1)
LAYERS, HIDDEN, HEADS, PIECES = 1, 32, 2, 300
SPECIAL = ("</s>", "<unk>", "<pad>")


def word_tokenizer(sentences):
    """Unigram pieces: the most frequent words, and all characters. A trainer would choose others on every run."""
    counts = Counter(word for sentence in sentences for word in sentence.split())
    characters = sorted({character for sentence in sentences for character in sentence if not character.isspace()})
    words = sorted(counts, key=lambda word: (-counts[word], word))
    pieces = [f"▁{word}" for word in words if len(word) > 1] + ["▁"] + characters
    pieces = list(dict.fromkeys(pieces))[-PIECES:] if len(pieces) > PIECES else pieces
    vocabulary = [(special, 0.0) for special in SPECIAL] + [(piece, -8.0 if len(piece) == 1 else -4.0) for piece in pieces]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=1))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A $B </s>", special_tokens=[("</s>", tokenizer.token_to_id("</s>"))]
    )
    return tokenizer


def random_model(tokenizer, seed):
    torch.manual_seed(seed)
    eos, pad = tokenizer.token_to_id("</s>"), tokenizer.token_to_id("<pad>")
    config = MarianConfig(
        vocab_size=tokenizer.get_vocab_size(),
        d_model=HIDDEN,
        encoder_layers=LAYERS,
        decoder_layers=LAYERS,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
        encoder_ffn_dim=2 * HIDDEN,
        decoder_ffn_dim=2 * HIDDEN,
        max_position_embeddings=512,
        init_std=0.6,
        tie_word_embeddings=False,  # or the first word would be said again and again
        eos_token_id=eos,
        pad_token_id=pad,
        decoder_start_token_id=pad,
        forced_eos_token_id=None,
        scale_embedding=True,
    )
    model = MarianMTModel(config).eval()
    with torch.no_grad():
        model.final_logits_bias[0, pad] = -1e9
        model.final_logits_bias[0, tokenizer.token_to_id("<unk>")] = -1e9
        model.final_logits_bias[0, eos] = 2.0
    model.generation_config.eos_token_id = eos
    model.generation_config.pad_token_id = pad
    model.generation_config.decoder_start_token_id = pad
    model.generation_config.bad_words_ids = None
    model.generation_config.num_beams = 4  # as the models of the hub say; the translator must not follow
    return model


class Encoder(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.encoder = model.get_encoder()

    def forward(self, input_ids, attention_mask):
        return self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


class Decoder(torch.nn.Module):
    """One step with the keys and values of the steps before; those of the encoder are made anew each time."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, encoder_attention_mask, input_ids, encoder_hidden_states, *past):
        layers = [(past[2 * i], past[2 * i + 1]) for i in range(LAYERS)]
        # In the graph the place is the length of the cache, not the number that it has while the graph is recorded.
        place = torch._shape_as_tensor(past[0])[2].reshape(1)
        positions = self.model.model.decoder.embed_positions
        positions.forward = lambda *_, **__: torch.nn.functional.embedding(place, positions.weight)
        cache = EncoderDecoderCache(DynamicCache(layers), DynamicCache())
        output = self.model(
            attention_mask=encoder_attention_mask,
            encoder_outputs=(encoder_hidden_states,),
            decoder_input_ids=input_ids,
            past_key_values=cache,
            use_cache=True,
        )
        del positions.forward
        own = output.past_key_values.self_attention_cache
        return (output.logits, *[t for layer in own.layers for t in (layer.keys, layer.values)])


def export(model, folder):
    os.makedirs(f"{folder}/onnx")
    ids = torch.tensor([[5, 6, 7]])
    mask = torch.ones_like(ids)
    hidden = model.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
    sequence = {0: "batch_size", 1: "encoder_sequence_length"}
    torch.onnx.export(
        Encoder(model).eval(),  # the exporter goes back to this mode, in the model too
        (ids, mask),
        f"{folder}/onnx/encoder_model.onnx",
        input_names=["input_ids", "attention_mask"],
        output_names=["last_hidden_state"],
        dynamic_axes={"input_ids": sequence, "attention_mask": sequence, "last_hidden_state": sequence},
        dynamo=False,
    )
    names = [f"{i}.decoder.{part}" for i in range(LAYERS) for part in ("key", "value")]
    past = [torch.zeros(1, HEADS, 2, HIDDEN // HEADS) for _ in names]
    axes = {"encoder_attention_mask": sequence, "encoder_hidden_states": sequence}
    axes |= {"input_ids": {0: "batch_size", 1: "decoder_sequence_length"}}
    axes |= {f"past_key_values.{name}": {0: "batch_size", 2: "past_decoder_sequence_length"} for name in names}
    axes |= {f"present.{name}": {0: "batch_size", 2: "past_decoder_sequence_length + 1"} for name in names}
    torch.onnx.export(
        Decoder(model).eval(),
        (mask, ids[:, :1], hidden, *past),
        f"{folder}/onnx/decoder_model_merged.onnx",
        input_names=["encoder_attention_mask", "input_ids", "encoder_hidden_states"]
        + [f"past_key_values.{name}" for name in names],
        output_names=["logits"] + [f"present.{name}" for name in names],
        dynamic_axes=axes,
        dynamo=False,
    )


def save(tokenizer, model, folder):
    export(model, folder)
    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    tokenizer.save(f"{folder}/tokenizer.json")
    with open(f"{folder}/tokenizer_config.json", "w") as file:
        special = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
        json.dump({"tokenizer_class": "MarianTokenizer", "model_max_length": 512, **special}, file)


def translate(tokenizer, model, sentences, per_token, more):
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", unk_token="<unk>", pad_token="<pad>")
    translated = []
    for sentence in sentences:
        ids = torch.tensor([fast(sentence)["input_ids"]])
        output = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            num_beams=1,
            do_sample=False,
            max_new_tokens=per_token * ids.shape[1] + more,
        )
        translated.append(fast.decode(output[0], skip_special_tokens=True).strip())
    return translated


def main():
    folder = sys.argv[1]
    request = json.load(sys.stdin)
    tokenizer = word_tokenizer(request["sentences"])
    texts, answer = request["sentences"], {}
    for seed, name in enumerate(("to", "from")):
        model = random_model(tokenizer, seed)
        save(tokenizer, model, f"{folder}/{name}")
        texts = translate(tokenizer, model, texts, request["tokens_per_token"], request["more_tokens"])
        answer[name] = texts
    json.dump(answer, sys.stdout)


main()
