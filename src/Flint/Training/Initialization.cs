using System.Runtime.InteropServices;
using Flint.Formats;
using Flint.Models;
using Flint.Tokens;
using Flint.Weights;

namespace Flint.Training;

/// <summary>
/// The first weights of a model: matrices bell-shaped around 0, those that write into the residual stream smaller the more layers
/// there are, norms of ones. Muse Glimmer's norms after blocks are 1/√(2·layers), so that all blocks together start as strong as
/// the embedding, and its queries' norms 3.87 as in the 30B model. The same shape and seed give the same file, byte for byte.
/// </summary>
public static class Initialization
{
    private const float GlimmerQueryNorm = 3.87f;
    private const int PieceFloats = 1 << 16;
    private const uint AllF32 = 0; // general.file_type

    /// <summary>Writes a model of float32 weights; it appears under its name when it is whole.</summary>
    /// <param name="path">Where to.</param>
    /// <param name="shape">Its shape.</param>
    /// <param name="tokenizer">The tokenizer's metadata (<c>tokenizer.ggml.*</c>), as of <see cref="BpeVocabulary.Metadata"/> or of another model.</param>
    /// <param name="template">The chat template.</param>
    /// <param name="name">What the model is called.</param>
    /// <param name="seed">Decides the weights.</param>
    /// <exception cref="FlintException">Caller: the shape is out of range, or the tokenizer has no tokens. Machine: the file cannot be written.</exception>
    public static void Write(string path, ModelShape shape, IEnumerable<KeyValuePair<string, object>> tokenizer, string template, string name, ulong seed)
    {
        KeyValuePair<string, object>[] metadata = [.. tokenizer.Where(pair => pair.Key != "tokenizer.chat_template")];
        if (metadata.FirstOrDefault(pair => pair.Key == "tokenizer.ggml.tokens").Value is not string[] { Length: > 0 } tokens)
            throw FlintException.Caller("no_tokenizer", "The tokenizer has no tokens.");
        ModelConfig config = shape.Config(tokens.Length);
        AtomicFile.Write(path, stream =>
        {
            using var writer = new GgufWriter(stream);
            shape.AddMetadata(writer, config);
            writer.Add("general.type", "model");
            writer.Add("general.name", name);
            writer.Add("general.file_type", AllF32);
            foreach ((string key, object value) in metadata) writer.Add(key, value);
            writer.Add("tokenizer.chat_template", template);
            DecoderTensor[] tensors = [.. DecoderTensors.Of(config, shape.Tied)];
            foreach (DecoderTensor tensor in tensors) writer.AddTensor(tensor.Name, WeightType.F32, tensor.Shape);
            writer.WriteHeader();
            for (int i = 0; i < tensors.Length; i++) WriteTensor(writer, tensors[i], shape, new SplitMix(seed, (ulong)i));
            writer.Finish();
        });
    }

    private static void WriteTensor(GgufWriter writer, DecoderTensor tensor, ModelShape shape, SplitMix random)
    {
        float scale = Scale(tensor, shape);
        var piece = new float[Math.Min(tensor.Elements, PieceFloats)];
        for (long left = tensor.Elements; left > 0; left -= piece.Length)
        {
            Span<float> values = piece.AsSpan(0, (int)Math.Min(left, piece.Length));
            if (tensor.IsVector) values.Fill(scale);
            else
                foreach (ref float value in values) value = scale * Bell(ref random);
            writer.WriteData(MemoryMarshal.AsBytes(values));
        }
    }

    /// <summary>The value of a norm's weights, or the deviation of a matrix.</summary>
    private static float Scale(DecoderTensor tensor, ModelShape shape)
    {
        string part = tensor.Name.Split('.') is [_, _, string name, _] ? name : tensor.Name;
        float perBlock = 1 / MathF.Sqrt(2 * shape.Layers);
        return part switch
        {
            DecoderTensors.QueryNorm when shape.IsGlimmer => GlimmerQueryNorm,
            DecoderTensors.PostAttentionNorm or DecoderTensors.PostFeedForwardNorm => perBlock,
            _ when tensor.IsVector => 1,
            // Where a norm follows, the size of these does not matter.
            DecoderTensors.Output or DecoderTensors.FeedForwardDown when !shape.IsGlimmer => shape.Spread * perBlock,
            _ => shape.Spread,
        };
    }

    // The sum of twelve even numbers from 0 to 1, less 6, has deviation 1: exact on any machine, as logarithms are not.
    private static float Bell(ref SplitMix random)
    {
        int sum = 0;
        for (int word = 0; word < 3; word++)
        {
            ulong bits = random.Next();
            sum += (ushort)bits + (ushort)(bits >> 16) + (ushort)(bits >> 32) + (ushort)(bits >> 48);
        }
        return (sum - 6 * ushort.MaxValue) * (1f / ushort.MaxValue);
    }
}
