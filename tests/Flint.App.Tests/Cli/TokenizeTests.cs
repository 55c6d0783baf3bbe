using System.Text.Json;

namespace Flint.App.Tests.Cli;

/// <summary><c>flint tokenize</c> and <c>flint detokenize</c>.</summary>
public sealed class TokenizeTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("flint-tokens-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private string Tiny(string? template = null)
    {
        string path = Path.Combine(_folder, "tiny.gguf");
        TinyModel.Write(path, template);
        return path;
    }

    private static int[] Ids(FlintProcess.Result run)
    {
        Assert.Equal((0, ""), (run.Code, run.Errors));
        Assert.EndsWith("]\n", run.Output, StringComparison.Ordinal);
        return JsonSerializer.Deserialize<int[]>(run.Output)!;
    }

    [Fact]
    public void Ids_are_a_json_array_and_flags_do_what_they_say()
    {
        string model = Tiny();
        int[] plain = Ids(FlintProcess.Run(["tokenize", model, "--file", "-"], input: "hello <|im_start|>"));
        Assert.Equal(1, plain[0]); // bos, as the file asks
        Assert.Contains(259, plain);
        Assert.Equal(plain[1..], Ids(FlintProcess.Run(["tokenize", model, "--file", "-", "--no-bos"], input: "hello <|im_start|>")));
        int[] text = Ids(FlintProcess.Run(["tokenize", model, "--file", "-", "--no-special"], input: "hello <|im_start|>"));
        Assert.DoesNotContain(259, text);
        Assert.Equal([1], Ids(FlintProcess.Run(["tokenize", model, "--file", "-"], input: "")));
    }

    [Theory]
    [InlineData("hello there\n")]
    [InlineData("  two spaces, tab\t, <s> and \u00e9\ud83d\ude00 <|im_end|>")]
    [InlineData("<s>")]
    public void Detokenize_undoes_tokenize(string text)
    {
        string model = Tiny(), source = Path.Combine(_folder, "text.txt"), ids = Path.Combine(_folder, "ids.json");
        File.WriteAllText(source, text);
        File.WriteAllText(ids, FlintProcess.Run(["tokenize", model, "--file", source]).Output);
        FlintProcess.Result run = FlintProcess.Run(["detokenize", model, "--file", ids]);
        Assert.Equal((0, text), (run.Code, run.Output));
    }

    [Fact]
    public void Special_tokens_can_be_left_out_of_the_text()
    {
        string model = Tiny();
        int[] ids = Ids(FlintProcess.Run(["tokenize", model, "--file", "-"], input: "hello<|im_end|>"));
        FlintProcess.Result run = FlintProcess.Run(["detokenize", model, "--file", "-", "--no-special"], input: JsonSerializer.Serialize(ids));
        Assert.Equal("hello", run.Output);
    }

    [Fact]
    public void A_bare_vocabulary_encodes_as_the_reference()
    {
        foreach (string name in new[] { "llama-bpe", "llama-spm" })
        {
            string vocabulary = TestData.Shared($"data/tokenizers/ggml-vocab-{name}.gguf");
            string[] texts = File.ReadAllText(vocabulary + ".inp").Split("\n__ggml_vocab_test__\n");
            string[] expected = File.ReadAllLines(vocabulary + ".out");
            foreach (int i in new[] { 0, texts.Length / 2, texts.Length - 2 })
            {
                int[] ids = [.. expected[i].Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(int.Parse)];
                Assert.Equal(ids, Ids(FlintProcess.Run(["tokenize", vocabulary, "--file", "-", "--no-bos", "--no-special"], input: texts[i])));
            }
        }
    }

    [Fact]
    public void Faults_are_one_line()
    {
        string model = Tiny();
        Assert.Contains("no such file", FlintProcess.Run(["tokenize", model, "--file", Path.Combine(_folder, "none")]).Complaint, StringComparison.Ordinal);
        Assert.Contains("outside the vocabulary", FlintProcess.Run(["detokenize", model, "--file", "-"], input: "[1, 100000]").Complaint, StringComparison.Ordinal);
        foreach (string bad in new[] { "", "{}", "[1.5]", "null", "[99999999999]" })
            Assert.Contains("JSON array", FlintProcess.Run(["detokenize", model, "--file", "-"], input: bad).Complaint, StringComparison.Ordinal);
        Assert.Equal(2, FlintProcess.Run(["tokenize", model]).Code);
    }
}
