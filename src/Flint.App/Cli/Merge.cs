using System.CommandLine;
using Flint.App.Serving;
using Flint.Formats;
using Flint.Models;
using Flint.Weights;

namespace Flint.App.Cli;

/// <summary><c>flint merge MODEL ADAPTER TARGET</c>: a model with an adapter worked into its weights.</summary>
internal static class Merge
{
    internal static Command Create()
    {
        var model = Verb.Model();
        var adapter = new Argument<string>("ADAPTER") { Description = "A low-rank adapter: a .gguf file, or a PEFT folder." };
        var target = new Argument<string>("TARGET") { Description = "The .gguf file to write." };
        var to = new Option<string?>("--to") { Description = "The format of the tensors that the adapter changes (default: their own; quantized ones are rounded anew).", HelpName = "TYPE" };
        var command = new Command("merge", "Write a model with an adapter worked into its weights, for programs that know no adapters.") { model, adapter, target, to };
        command.SetAction(parsed =>
        {
            using GgufFile file = GgufFile.Open(ModelLocator.Find(parsed.GetRequiredValue(model)));
            LoraAdapter read = LoraAdapter.Load(parsed.GetRequiredValue(adapter), file);
            string path = parsed.GetRequiredValue(target);
            WeightType? type = parsed.GetValue(to) is { } name ? Verb.WeightType(to.Name, name) : null;
            LoraMerge.Write(file, read, path, type);
            Console.WriteLine($"{path}: {Sizes.Text(new FileInfo(path).Length)}; {read.Matrices.Count} of {file.Tensors.Count} tensors changed");
        });
        return command;
    }
}
