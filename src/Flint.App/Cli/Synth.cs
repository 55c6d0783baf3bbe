using System.CommandLine;
using Flint.Weights;

namespace Flint.App.Cli;

/// <summary><c>flint synth</c>: a random-weight file of a real shape, so that speed and memory are known before a download.</summary>
internal static class Synth
{
    internal static Command Create()
    {
        var shape = new Option<string>("--shape") { Description = $"The model whose shape to take: {string.Join(", ", Weights.Synth.Shapes)}.", Required = true, HelpName = "SHAPE" };
        shape.AcceptOnlyFromAmong([.. Weights.Synth.Shapes]);
        var layers = Verb.Range(new Option<int?>("--layers") { Description = "Layers, where not the shape's own number.", HelpName = "N" }, 1, Weights.Synth.MaxLayers);
        var quant = new Option<string>("--quant") { Description = $"Weight format or mix: {string.Join(", ", Weights.Synth.Quants)}.", DefaultValueFactory = _ => "Q4_K_M", HelpName = "QUANT" };
        var output = new Option<string>("--out", "-o") { Description = "The file to write.", Required = true, HelpName = "FILE" };
        var seed = new Option<ulong>("--seed") { Description = "The same options and seed give the same file, byte for byte.", DefaultValueFactory = _ => 1, HelpName = "N" };
        var command = new Command("synth",
            "Write a model of random weights in the shape of a real one, straight in the quantized format. It answers nonsense, at the real one's speed and memory.")
            { shape, layers, quant, output, seed };
        command.SetAction(parsed =>
        {
            string path = parsed.GetRequiredValue(output);
            Weights.Synth.Write(
                new SynthOptions { Shape = parsed.GetRequiredValue(shape), Layers = parsed.GetValue(layers), Quant = parsed.GetValue(quant)!, Seed = parsed.GetValue(seed) },
                path);
            Console.WriteLine($"{path}: {Sizes.Text(new FileInfo(path).Length)}");
        });
        return command;
    }
}
