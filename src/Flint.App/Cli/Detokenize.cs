using System.CommandLine;
using System.Text;
using System.Text.Json;
using Flint.Tokens;

namespace Flint.App.Cli;

/// <summary><c>flint detokenize</c>: the text of token ids; undoes <c>flint tokenize</c>.</summary>
internal static class Detokenize
{
    internal static Command Create()
    {
        var model = Verb.Model();
        var file = Verb.InputFile("The ids, a JSON array of integers; - reads standard input.");
        var noSpecial = new Option<bool>("--no-special") { Description = "Leave out the text of special tokens." };
        var command = new Command("detokenize",
            "Print the text of token ids, exactly, without a line end of its own. What the model's file has added at the beginning and end is left out.") { model, file, noSpecial };
        command.SetAction(parsed =>
        {
            Tokenizer tokenizer = Tokenize.Load(parsed.GetValue(model));
            ReadOnlySpan<int> ids = Parse(Verb.ReadInput(parsed.GetRequiredValue(file)), tokenizer.Count);
            if (tokenizer.AddBos && ids.Length > 0 && ids[0] == tokenizer.Bos) ids = ids[1..];
            if (tokenizer.AddEos && ids.Length > 0 && ids[^1] == tokenizer.Eos) ids = ids[..^1];
            using Stream output = Console.OpenStandardOutput();
            output.Write(Encoding.UTF8.GetBytes(tokenizer.Decode(ids, showSpecial: !parsed.GetValue(noSpecial))));
        });
        return command;
    }

    private static int[] Parse(byte[] json, int count)
    {
        int[] ids;
        try
        {
            ids = JsonSerializer.Deserialize<int[]>(json) ?? throw new JsonException();
        }
        catch (JsonException)
        {
            throw FlintException.Caller("invalid_ids", "expected a JSON array of token ids, such as [1, 15043]");
        }
        foreach (int id in ids)
            if (id < 0 || id >= count) throw FlintException.Caller("invalid_ids", $"token id {id} is outside the vocabulary of {count}");
        return ids;
    }
}
