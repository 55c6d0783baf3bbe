using Flint.Grammar;

namespace Flint.Tests.Grammar;

/// <summary>Grammars in llama.cpp's language.</summary>
public sealed class GbnfTests
{
    [Theory]
    [InlineData("root ::= \"yes\" | \"no\"", "yes|no", "maybe|ye|yesno")]
    [InlineData("root ::= item+ # a list\nitem ::= \"- \" [^\\n]+ \"\\n\"", "- a\n|- a\n- bc\n", "- a|a\n|- \n")]
    [InlineData("root ::= expr\nexpr ::= term (\"+\" term)*\nterm ::= [0-9]{1,3} | \"(\" expr \")\"", "1|12+(3+4)|((7))", "1234|1+|()")]
    [InlineData("root ::= (\n  \"a\" |\n  \"b\"\n)? \"c\"", "ac|bc|c", "abc|a")]
    [InlineData("root ::= \"\\x41\\u00e9\" . [\\]x-]", "Aé日]|Aéq-|Aé\"x", "Aé]|A]")]
    [InlineData("root ::= ws \"x\"\nws ::= | \" \" ws", "x|   x", "y| ")]
    [InlineData("a ::= \"1\"\nroot ::= a{2} a{,2}", "11|111|1111", "1|11111")]
    public void Takes_its_texts_and_nothing_else(string grammar, string valid, string invalid)
    {
        TokenGrammar compiled = TokenGrammar.OfGbnf(SmallVocabulary.Create(), grammar);
        Assert.All(valid.Split('|'), text => Assert.True(compiled.Accepts(text), text));
        Assert.All(invalid.Split('|'), text => Assert.False(compiled.Accepts(text), text));
    }

    [Theory]
    [InlineData("rot ::= \"a\"", "no rule 'root'")]
    [InlineData("root ::= other", "'other'")]
    [InlineData("root ::= root \"a\" | \"b\"", "begins with itself")]
    [InlineData("root ::= e a\ne ::= \"\"\na ::= e root | \"x\"", "begins with itself")]
    [InlineData("root ::= \"a\nb ::= \"c\"", "line")]
    [InlineData("root = \"a\"", "'::='")]
    [InlineData("root ::= [z-a]", "range")]
    [InlineData("root ::= \"a\"{3,1}", "count")]
    [InlineData("root ::= (\"a\"", "')'")]
    [InlineData("root ::= \"a\"\nroot ::= \"b\"", "twice")]
    [InlineData("root ::= a\na ::= \"x\" a", "no text")]
    [InlineData("", "root")]
    public void What_is_no_grammar_is_refused(string grammar, string named)
    {
        FlintException fault = Assert.Throws<FlintException>(() => TokenGrammar.OfGbnf(SmallVocabulary.Create(), grammar));
        Assert.Equal(FaultSide.Caller, fault.Side);
        Assert.Contains(named, fault.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("arithmetic.gbnf", "1+2 = 3\n|(x *4) -2 = y\n", "1+ = 3\n")]
    [InlineData("json.gbnf", "{\"a\": [1, 2.5, true, null]}", "{\"a\": }|[1]")]
    [InlineData("json_arr.gbnf", "[\n1,\n2]", "{}")]
    [InlineData("list.gbnf", "- one\n- two\n", "one\n")]
    [InlineData("chess.gbnf", "1. e4 e5\n2. Nf3 Nc6\n", "2. e4 e5\n")]
    [InlineData("japanese.gbnf", "日本", "nihon")]
    [InlineData("c.gbnf", "int main(){return 0;}", "main {")]
    [InlineData("english.gbnf", "Hello, world!", "日本")]
    public void Known_grammars_are_read(string file, string valid, string invalid)
    {
        TokenGrammar compiled = TokenGrammar.OfGbnf(SmallVocabulary.Create(), File.ReadAllText(TestData.Shared($"data/structured-output/gbnf/{file}")));
        Assert.All(valid.Split('|'), text => Assert.True(compiled.Accepts(text), text));
        Assert.All(invalid.Split('|'), text => Assert.False(compiled.Accepts(text), text));
    }
}
